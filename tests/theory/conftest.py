from hypothesis import settings

settings.register_profile("theory", deadline=None, derandomize=True, max_examples=80, database=None)
settings.load_profile("theory")
