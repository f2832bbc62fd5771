"""CPython's own tests of ``concurrent.futures``, run on ours."""
