"""Who does the work that was asked for: a worker beside the API, processes for a fleet, or many machines by Celery."""
