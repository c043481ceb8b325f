"""What can be asked for, written once for the command line, HTTP and workers."""
