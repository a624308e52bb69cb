"""命令行: one module a command group; each imports what is heavy inside its functions, so that help answers at once."""
