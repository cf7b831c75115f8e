"""A result as one page of HTML: an answer, pictures, tables; nothing is fetched."""
