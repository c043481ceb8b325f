"""``python -m s3import`` is ``s3import``."""

from s3import.cli import main

main()
