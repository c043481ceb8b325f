"""What the command line says and understands: options, bars, summaries, signals and exit statuses."""
