"""Who this probe is: its keys, its folder, and enrolment from a token."""
