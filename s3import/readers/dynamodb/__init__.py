"""Items of DynamoDB, from its tables or from an export to S3, as the records of a dump."""
