"""A hydrophone's day, made by ourselves, so that anyone can hear Haro work without a sea."""
