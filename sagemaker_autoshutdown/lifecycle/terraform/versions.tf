terraform {
  required_version = ">= 1.3"

  required_providers {
    aws = {
      source = "hashicorp/aws"
      # The first with built_in_lifecycle_config_arn, which attaches what this module creates.
      version = ">= 5.76, < 7.0"
    }
  }
}
