variable "name" {
  type        = string
  default     = "sagemaker-autoshutdown-fleet"
  description = "The name of the stack."
}

variable "bucket_name" {
  type        = string
  default     = null
  description = "The name of the bucket. By default one with the account's number and the region."
}

variable "code" {
  type        = string
  description = "The zip that `jupyter sagemaker-autoshutdown fleet bundle` has made."
}

variable "config_file" {
  type        = string
  default     = null
  description = "The fleet's configuration file. Without one, this account and region are watched."
}

variable "act" {
  type        = bool
  default     = false
  description = "Whether the function is there that marks, warns and shuts down."
}

variable "architecture" {
  type        = string
  default     = "arm64"
  description = "That of the code: arm64 or x86_64."

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "The architecture is arm64 or x86_64."
  }
}

variable "parameters" {
  type        = map(string)
  default     = {}
  description = "Other parameters of fleet.yaml, such as Memory or AlarmTopicArn."
}

variable "tags" {
  type        = map(string)
  default     = {}
  description = "Tags of all that is made."
}
