"""Who does the queued work: a worker in the process of `serve`, or many machines by Celery."""
