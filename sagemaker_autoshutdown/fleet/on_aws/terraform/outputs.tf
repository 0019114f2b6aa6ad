output "outputs" {
  value       = aws_cloudformation_stack.this.outputs
  description = "Those of the stack: the table, the log group of the audit, the roles."
}

output "bucket" {
  value       = aws_s3_bucket.this.id
  description = "The bucket of the code, the configuration and the record."
}
