"""How fast Haro scores a minute of sound, in how much memory, and what that costs: `make bench`.

It measures the functions that `haro run` and the app call, on a minute that is made here; nothing is fetched.
"""
