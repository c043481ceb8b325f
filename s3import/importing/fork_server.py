"""What the process does first that `account_processes` forks from; nobody else imports this.

Whoever asks a whole group of processes to end means the command, which then tells those that move accounts.
"""

import signal

for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
