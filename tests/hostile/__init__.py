"""What a hostile author of checks might write, and the functions that each live engine has."""
