"""Small things that every room uses; they use none of the others."""
