"""The API's answers as models, for its documentation."""
