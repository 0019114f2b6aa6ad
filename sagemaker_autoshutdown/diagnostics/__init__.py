"""What would keep the product from working here. Used by ``doctor`` and by the installer."""
