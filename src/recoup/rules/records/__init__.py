"""What the rows of the tables mean, as frozen values: made by `store`, read by everybody."""
