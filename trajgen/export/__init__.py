"""A run's trajectories chosen, split and written as a view for one trainer."""
