"""What the README claims about speed, as commands that measure it side by side."""
