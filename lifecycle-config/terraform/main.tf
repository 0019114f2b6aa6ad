# The lifecycle configurations of ../*.sh with the settings of this module, and the policy of the
# apps' execution role. The outputs go into your own aws_sagemaker_domain: a domain has one owner.

locals {
  kinds = {
    classic           = "JupyterServer"
    space             = "JupyterLab"
    notebook-instance = null
  }

  sources = { for kind, app_type in local.kinds : kind => file("${path.module}/../${kind}.sh") }

  version = coalesce(var.package_version, regex("(?m)^VERSION=(\\S+)$", local.sources.space)[0])

  values = {
    VERSION        = local.version
    WHEEL          = var.wheel
    SHA256         = var.sha256
    INDEX_URL      = var.index_url
    IDLE_TIMEOUT   = tostring(var.idle_timeout)
    WARNING_TIME   = tostring(var.warning_time)
    KEEP_TERMINALS = tostring(var.keep_terminals)
    MORE_SETTINGS  = jsonencode(var.more_settings)
  }

  # As a shell needs them: quoted, unless all of it is harmless.
  assignments = {
    for name, value in local.values : name => join("=", [
      name,
      can(regex("^[a-zA-Z0-9@%+=:,./_-]+$", value)) ? value : "'${replace(value, "'", "'\"'\"'")}'",
    ])
  }

  lines = { for kind, source in local.sources : kind => split("\n", replace(source, "\r", "")) }

  # Only the first lines hold settings, so that no other line is ever taken for one.
  settings_end = { for kind, lines in local.lines : kind => index(lines, "# ---- Nothing to edit below.") }

  scripts = {
    for kind, lines in local.lines : kind => join("\n", [
      for number, line in lines : (
        number < local.settings_end[kind]
        ? lookup(local.assignments, split("=", line)[0], number == 1 ? replace(line, "/sagemaker-autoshutdown \\S+/", "sagemaker-autoshutdown ${local.version}") : line)
        : line
      )
    ])
  }

  # The version and, since these can't be changed once they are created, the content; 63 characters.
  names = {
    for kind, script in local.scripts : kind => join("-", [
      "sagemaker-autoshutdown",
      trim(substr(replace(local.version, "/[^a-zA-Z0-9]+/", "-"), 0, 63 - length("sagemaker-autoshutdown---00000000${kind}")), "-"),
      kind,
      substr(sha256(script), 0, 8),
    ])
  }

  wheel_in_s3 = startswith(var.wheel, "s3://")
}

data "aws_partition" "current" {}

resource "aws_sagemaker_studio_lifecycle_config" "this" {
  for_each = { for kind, app_type in local.kinds : kind => app_type if app_type != null }

  studio_lifecycle_config_name     = local.names[each.key]
  studio_lifecycle_config_app_type = each.value
  studio_lifecycle_config_content  = base64encode(local.scripts[each.key])
  tags                             = var.tags

  lifecycle {
    # What is attached can't be deleted: the new one first.
    create_before_destroy = true

    precondition {
      condition     = length(base64encode(local.scripts[each.key])) <= 16384
      error_message = "SageMaker takes 16,384 characters of base64: shorten more_settings."
    }
  }
}

resource "aws_sagemaker_notebook_instance_lifecycle_configuration" "this" {
  name     = local.names["notebook-instance"]
  on_start = base64encode(local.scripts["notebook-instance"])
  tags     = var.tags

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_iam_policy" "this" {
  name_prefix = "sagemaker-autoshutdown-"
  description = "What sagemaker-autoshutdown does with the role of its apps"
  tags        = var.tags

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([
      {
        Sid      = "SageMakerAutoShutdownApps"
        Effect   = "Allow"
        Action   = ["sagemaker:DeleteApp", "sagemaker:DescribeApp"]
        Resource = "arn:${data.aws_partition.current.partition}:sagemaker:*:*:app/*"
      },
      {
        Sid      = "SageMakerAutoShutdownList"
        Effect   = "Allow"
        Action   = ["sagemaker:ListApps"]
        Resource = "*"
      },
      {
        Sid      = "SageMakerAutoShutdownNotebookInstances"
        Effect   = "Allow"
        Action   = ["sagemaker:DescribeNotebookInstance", "sagemaker:StopNotebookInstance"]
        Resource = "arn:${data.aws_partition.current.partition}:sagemaker:*:*:notebook-instance/*"
      },
      {
        Sid    = "SageMakerAutoShutdownLook"
        Effect = "Allow"
        Action = ["sagemaker:DescribeDomain", "sagemaker:DescribeSpace", "sagemaker:DescribeUserProfile"]
        Resource = [
          for resource in ["domain/*", "space/*", "user-profile/*"] :
          "arn:${data.aws_partition.current.partition}:sagemaker:*:*:${resource}"
        ]
      },
      {
        Sid      = "SageMakerAutoShutdownPrices"
        Effect   = "Allow"
        Action   = ["pricing:GetProducts"]
        Resource = "*"
      },
      ], local.wheel_in_s3 ? [{
        Sid      = "SageMakerAutoShutdownWheel"
        Effect   = "Allow"
        Action   = ["s3:GetObject"]
        Resource = "arn:${data.aws_partition.current.partition}:s3:::${trimprefix(var.wheel, "s3://")}"
    }] : [])
  })
}

resource "aws_iam_role_policy_attachment" "this" {
  count = var.execution_role_name == "" ? 0 : 1

  role       = var.execution_role_name
  policy_arn = aws_iam_policy.this.arn
}
