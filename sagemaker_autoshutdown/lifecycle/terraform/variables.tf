variable "execution_role_names" {
  description = "The execution roles of the apps (their names). Empty to attach the policy yourself."
  type        = list(string)
  default     = []
}

variable "domain_arn" {
  description = "The ARN of the domain of the policy. Empty for any."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(arn:[a-z-]+:sagemaker:[a-z0-9-]+:[0-9]{12}:domain/[a-z0-9-]+)?$", var.domain_arn))
    error_message = "arn:PARTITION:sagemaker:REGION:ACCOUNT:domain/DOMAIN-ID, as DescribeDomain returns it."
  }
}

variable "package_version" {
  description = "The version to install, and no other. Empty for the version of the scripts."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^((0|[1-9][0-9]*)(\\.(0|[1-9][0-9]*))*((a|b|rc)(0|[1-9][0-9]*))?(\\.post(0|[1-9][0-9]*))?(\\.dev(0|[1-9][0-9]*))?(\\+[a-z0-9]+(\\.[a-z0-9]+)*)?)?$", var.package_version))
    error_message = "A version, such as 1.2.3."
  }
}

variable "wheel" {
  description = "The source of its wheel or of a bundle: s3://BUCKET/KEY, https://... or a path in the image. Empty for the package index."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^((s3://[a-z0-9][a-z0-9.-]*/|https://|/)[a-zA-Z0-9._/:@%+=~,-]+\\.(whl|tar\\.gz))?$", var.wheel))
    error_message = "s3://BUCKET/KEY, https://... or an absolute path, of a .whl or .tar.gz (bundle)."
  }
}

variable "sha256" {
  description = "The SHA-256 of the wheel. Empty for no check."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^([0-9a-f]{64})?$", var.sha256))
    error_message = "64 hexadecimal digits."
  }
}

variable "index_url" {
  description = "A package index other than pip's own."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(https?://[a-zA-Z0-9._/:@%+=~,?&-]+)?$", var.index_url))
    error_message = "https://... or http://..., without characters that a shell interprets."
  }
}

variable "idle_timeout" {
  description = "The idle limit - seconds without activity after which an app is shut down."
  type        = number
  default     = 7200

  validation {
    condition     = var.idle_timeout >= 1 && var.idle_timeout <= 31622400
    error_message = "From one second to 366 days."
  }
}

variable "warning_time" {
  description = "How many seconds before a shutdown users get a warning."
  type        = number
  default     = 600

  validation {
    condition     = var.warning_time >= 1 && var.warning_time <= 31622400
    error_message = "From one second to 366 days."
  }
}

variable "keep_terminals" {
  description = "Whether an open terminal keeps its app up."
  type        = bool
  default     = false
}

variable "more_settings" {
  description = "Any other settings of the extension, by name."
  type        = any
  default     = {}
}

variable "watch_starts" {
  description = "Whether to count, and alert on, starts that installed nothing and users who switched it off. The log group /aws/sagemaker/studio must exist: Studio creates it with the first app."
  type        = bool
  default     = false
}

variable "alarm_topic_arn" {
  description = "The SNS topic that alarms go to. Empty for none."
  type        = string
  default     = ""
}

variable "tags" {
  description = "Tags for the created resources."
  type        = map(string)
  default     = {}
}
