# The fleet on AWS's own engines. The engines are those of fleet.yaml, which
# `jupyter sagemaker-autoshutdown fleet deploy` deploys too: one description for both ways.

locals {
  config_key = var.config_file == null ? "" : "config/${filesha256(var.config_file)}.toml"
  code_key   = "code/${filesha256(var.code)}.zip"
}

data "aws_caller_identity" "this" {}
data "aws_region" "this" {}

resource "aws_s3_bucket" "this" {
  bucket        = coalesce(var.bucket_name, "${var.name}-${data.aws_caller_identity.this.account_id}-${data.aws_region.this.name}")
  force_destroy = true
  tags          = var.tags
}

resource "aws_s3_bucket_public_access_block" "this" {
  bucket                  = aws_s3_bucket.this.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_policy" "this" {
  bucket = aws_s3_bucket.this.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "TlsOnly"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [aws_s3_bucket.this.arn, "${aws_s3_bucket.this.arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
}

resource "aws_s3_object" "code" {
  bucket = aws_s3_bucket.this.id
  key    = local.code_key
  source = var.code
}

resource "aws_s3_object" "config" {
  count   = var.config_file == null ? 0 : 1
  bucket  = aws_s3_bucket.this.id
  key     = local.config_key
  content = file(var.config_file)
}

resource "aws_cloudformation_stack" "this" {
  name          = var.name
  template_body = file("${path.module}/fleet.yaml")
  capabilities  = ["CAPABILITY_IAM"]
  tags          = var.tags

  parameters = merge(var.parameters, {
    Bucket        = aws_s3_bucket.this.id
    CodeKey       = local.code_key
    Configuration = var.config_file == null ? "" : "s3://${aws_s3_bucket.this.id}/${local.config_key}"
    Act           = tostring(var.act)
    Architecture  = var.architecture
  })

  depends_on = [aws_s3_object.code, aws_s3_object.config]
}
