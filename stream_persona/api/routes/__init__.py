"""The routes of the API: each module's ``build_router`` builds those of one subject."""
