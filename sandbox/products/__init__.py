"""Products: the declared job, its SQL, its evidence, and the file the platform writes from it."""
