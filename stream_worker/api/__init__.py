"""REST, live feed and the page: readers of Redis. asyncio is at home here, and nowhere else."""
