"""What this project measures about itself. Nothing outside imports a study."""
