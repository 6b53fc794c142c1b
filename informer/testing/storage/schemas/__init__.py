"""What the server knows of an object's fields: CustomResourceDefinitions' schemas and rules, built-in kinds' fields."""
