"""The 25 properties that a drop-in owes its user: one suite for the standard pools and for ours."""
