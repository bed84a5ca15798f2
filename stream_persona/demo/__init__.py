"""The demo: half a year of real households through a whole system, live (``run.run``)."""
