"""The only room that imports redis, and its twin in memory."""
