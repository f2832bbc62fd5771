"""What runs inside a worker's child. Has never heard of Celery."""
