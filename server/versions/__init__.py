"""What a policy version is: its folder, its weights, its proof that an engine has them."""
