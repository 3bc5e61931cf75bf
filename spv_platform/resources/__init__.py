"""What the assets and sensors reach the outside through."""
