"""`make demo`: a dump in S3, a database, and the one command that moves the one into the other."""
