"""What a cluster looks like from outside: its nodes, queues and executors, for people and scripts.

Reads records that nodes and callers write anyway. Needs neither pickle nor Celery.
"""
