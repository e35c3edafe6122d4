"""What people look at: tables, progress, and the page of a race."""
