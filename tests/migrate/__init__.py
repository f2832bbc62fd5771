"""The migration tool: cases, command, properties, whole trees."""
