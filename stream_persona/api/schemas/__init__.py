"""What the API answers, as documented models."""
