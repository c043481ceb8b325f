"""The sample that `s3import sample` writes."""
