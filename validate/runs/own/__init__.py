"""Runs for a task of your own: the plan, and the trainings that it asks for."""
