"""`make bench`: s3import against the databases' own tools, on rows made by seed."""
