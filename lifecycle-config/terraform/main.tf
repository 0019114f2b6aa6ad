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

  # In a shell's form: quoted, unless every character is harmless.
  assignments = {
    for name, value in local.values : name => join("=", [
      name,
      can(regex("^[a-zA-Z0-9@%+=:,./_-]+$", value)) ? value : "'${replace(value, "'", "'\"'\"'")}'",
    ])
  }

  lines = { for kind, source in local.sources : kind => split("\n", replace(source, "\r", "")) }

  # Only the first lines hold settings, so that no other line is ever taken for one.
  settings_end = { for kind, lines in local.lines : kind => index(lines, "# ---- Nothing to edit below.") }

  given = {
    for kind, lines in local.lines : kind => [
      for number, line in lines : (
        number < local.settings_end[kind]
        ? lookup(local.assignments, split("=", line)[0], number == 1 ? replace(line, "/sagemaker-autoshutdown \\S+/", "sagemaker-autoshutdown ${local.version}") : line)
        : line
      )
    ]
  }

  # SageMaker limits the length: a longer script goes without the comments below its
  # settings, and if necessary without any except its first line.
  comment = "^ *# [^s]|^ *# s[^h]|^ *# sh[^e]"
  shorter = {
    for kind, lines in local.given : kind => [
      join("\n", lines),
      join("\n", [for number, line in lines : line if !(number > local.settings_end[kind] && can(regex(local.comment, line)))]),
      join("\n", [for number, line in lines : line if !(number > 1 && can(regex(local.comment, line)))]),
    ]
  }
  scripts = {
    for kind, each in local.shorter : kind => concat([for script in each : script if length(base64encode(script)) <= 16384], [each[2]])[0]
  }

  # The version and a digest of the content, because scripts can't be changed later; 63 characters.
  names = {
    for kind, script in local.scripts : kind => join("-", [
      "sagemaker-autoshutdown",
      trim(substr(replace(local.version, "/[^a-zA-Z0-9]+/", "-"), 0, 63 - length("sagemaker-autoshutdown---00000000${kind}")), "-"),
      kind,
      substr(sha256(script), 0, 8),
    ])
  }

  unknown_settings = sort(setsubtract(keys(var.more_settings), jsondecode(file("${path.module}/settings.json"))))
  settings_source  = try(tostring(var.more_settings.settings_source), "")

  # arn:PARTITION:sagemaker:REGION:ACCOUNT:domain/DOMAIN-ID, or nothing.
  domain    = split(":", var.domain_arn)
  partition = data.aws_partition.current.partition
  region    = var.domain_arn == "" ? "*" : local.domain[3]
  account   = var.domain_arn == "" ? "*" : local.domain[4]
  domain_id = var.domain_arn == "" ? "*" : trimprefix(local.domain[5], "domain/")

  # The statements that everybody needs, for the given domain if there is one.
  statements = jsondecode(replace(replace(replace(
    file("${path.module}/policy.json"),
    "arn:*:sagemaker:*:*:", "arn:${local.partition}:sagemaker:${local.region}:${local.account}:"),
    "$${sagemaker:DomainId}", var.domain_arn == "" ? "$${sagemaker:DomainId}" : local.domain_id),
    "/(:(app|domain|space|user-profile))\\/\\*/", "$1/${local.domain_id}")
  ).Statement
}

data "aws_partition" "current" {}

resource "aws_sagemaker_studio_lifecycle_config" "this" {
  for_each = { for kind, app_type in local.kinds : kind => app_type if app_type != null }

  studio_lifecycle_config_name     = local.names[each.key]
  studio_lifecycle_config_app_type = each.value
  studio_lifecycle_config_content  = base64encode(local.scripts[each.key])
  tags                             = var.tags

  lifecycle {
    # An attached one can't be deleted, so the new one comes first.
    create_before_destroy = true

    precondition {
      condition     = length(base64encode(local.scripts[each.key])) <= 16384
      error_message = "SageMaker accepts 16,384 characters of base64 at most: shorten more_settings."
    }

    precondition {
      condition     = length(local.unknown_settings) == 0
      error_message = "more_settings has unknown settings: ${join(", ", local.unknown_settings)}."
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
  description = "The rights of sagemaker-autoshutdown with the role of its apps"
  tags        = var.tags

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      local.statements,
      startswith(var.wheel, "s3://") ? [{
        Sid      = "SageMakerAutoShutdownWheel"
        Effect   = "Allow"
        Action   = ["s3:GetObject"]
        Resource = "arn:${local.partition}:s3:::${trimprefix(var.wheel, "s3://")}"
      }] : [],
      startswith(local.settings_source, "s3://") ? [{
        Sid      = "SageMakerAutoShutdownSettings"
        Effect   = "Allow"
        Action   = ["s3:GetObject"]
        Resource = "arn:${local.partition}:s3:::${trimprefix(local.settings_source, "s3://")}"
      }] : [],
      startswith(local.settings_source, "ssm:") ? [{
        Sid      = "SageMakerAutoShutdownSettings"
        Effect   = "Allow"
        Action   = ["ssm:GetParameter"]
        Resource = "arn:${local.partition}:ssm:${local.region}:${local.account}:parameter/${trimprefix(trimprefix(local.settings_source, "ssm:"), "/")}"
      }] : [],
    )
  })
}

resource "aws_iam_role_policy_attachment" "this" {
  for_each = toset(var.execution_role_names)

  role       = each.value
  policy_arn = aws_iam_policy.this.arn
}

# ---- starts that installed nothing, and users who switched it off

locals {
  watched = var.watch_starts ? {
    NotInstalled = "NOT INSTALLED"
    SwitchedOff  = "SWITCHED OFF"
  } : {}
}

resource "aws_cloudwatch_log_metric_filter" "this" {
  for_each = local.watched

  name           = "sagemaker-autoshutdown-${each.key}"
  log_group_name = "/aws/sagemaker/studio"
  pattern        = "\"sagemaker-autoshutdown: ${each.value}\""

  metric_transformation {
    namespace = "SageMakerAutoShutdown"
    name      = each.key
    value     = "1"
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.watched

  alarm_name          = "sagemaker-autoshutdown-${each.key}"
  alarm_description   = "A Studio app started and its script logged ${each.value}: lifecycle-config status --logs says which"
  namespace           = "SageMakerAutoShutdown"
  metric_name         = aws_cloudwatch_log_metric_filter.this[each.key].metric_transformation[0].name
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arn == "" ? [] : [var.alarm_topic_arn]
  tags                = var.tags
}
