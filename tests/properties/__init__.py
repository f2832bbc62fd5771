"""The 25 properties that a drop-in owes its user: one set of tests for the standard pools and ours."""
