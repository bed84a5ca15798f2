"""The routes of the API: each module's ``router`` builds those of one subject."""
