"""What runs leave behind: which file is what, which record vouches for it, and whether it may be believed."""
