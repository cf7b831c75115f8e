"""What makes and checks the docs: pages, man pages, pictures, the house, releases."""
