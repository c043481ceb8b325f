"""What an import will take, said before anything is written."""
