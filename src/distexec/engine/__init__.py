"""The only room that imports Celery: app, lease task, node, embedded cluster."""
