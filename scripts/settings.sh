#!/usr/bin/env bash
# For the other scripts to source: what a setting of gpt-load is, from the environment or else from .env.

# setting NAME [DEFAULT]
setting() {
  local value=${!1:-}
  if [[ -z $value && -r .env ]]; then
    value=$(sed -nE "s/^[[:space:]]*(export[[:space:]]+)?$1[[:space:]]*=[[:space:]]*//p" .env | head -n 1)
    value=${value%$'\r'}
    case $value in
      \"*\") value=${value#\"} value=${value%\"} ;;
      \'*\') value=${value#\'} value=${value%\'} ;;
      *) value=${value%%[[:space:]]#*} ;;
    esac
  fi
  printf '%s' "${value:-${2:-}}"
}
