"""目录: resources that departments register, their versions, graded columns, and the published catalogue."""
